"""grid.yaml as a JSON schema, with which an editor completes and checks while one types. Made from the table of the keys.

It refuses no grid that is valid. It allows some that are not: tests/hpc/request/test_schema.py lists which.
"""

from collections.abc import Mapping
from typing import Any

from hpc.request.keys import AXES, EXTENSIONS, SCALARS, TRAINING, Key, fields_of
from noisy.spec import ALLOWED, MODEL_TYPES, OWN_NAME

_DRAFT = "http://json-schema.org/draft-07/schema#"  # the newest that YAML's language server knows well


def schema(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a grid. sections: name of a section for an executor -> its schema."""
    training = {name: _training(key) for name, key in TRAINING.items()}
    models = {model: _mapping({name: training[name] for name in fields_of(model)}) for model in (*MODEL_TYPES, "")}
    own_model = models.pop("")
    keys = {
        **{name: {**_item(key), **_described(key)} for name, key in SCALARS.items()},
        **{name: {**_list_of(key), **_described(key)} for name, key in AXES.items()},
        **{name: {**training[name], **_described(TRAINING[name])} for name in TRAINING},
        "models": {
            **_mapping(models),
            "additionalProperties": own_model,
            "propertyNames": OWN_NAME.schema,
            "description": "what differs by model type",
        },
        "extensions": {**_list_of(EXTENSIONS), "minItems": 0, **_described(EXTENSIONS)},
    }
    return {"$schema": _DRAFT, "title": "A grid of trainings", **_mapping({**keys, **sections}), **_WITHOUT_OWN_FILES}


_OWN_FILES = {"required": ["extensions"], "properties": {"extensions": {"minItems": 1}}}
_WITHOUT_OWN_FILES = {  # only the built-in names are allowed
    "if": {"not": _OWN_FILES},
    "then": {
        "properties": {
            "dataset": dict(ALLOWED["dataset"].schema),
            "activations": {"items": dict(ALLOWED["activation"].schema)},
            "model_types": {"items": dict(ALLOWED["model_type"].schema)},
            "models": {"propertyNames": {"enum": [*MODEL_TYPES]}},
        }
    },
}


def _item(key: Key) -> dict[str, Any]:
    """One value of a key: a built-in name, or one that an own file registers."""
    return {"anyOf": [dict(key.allowed.schema), dict(OWN_NAME.schema)]} if key.field else dict(key.allowed.schema)


def _mapping(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": dict(properties)}


def _list_of(key: Key) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": _item(key)}


def _training(key: Key) -> dict[str, Any]:
    """One value, or a list of values."""
    return {"anyOf": [dict(key.allowed.schema), _list_of(key)]}


def _described(key: Key) -> dict[str, Any]:
    return {"description": key.about, "default": key.default}
