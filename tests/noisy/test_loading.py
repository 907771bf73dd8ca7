"""The garbage collector waits while libraries are loaded, and is as it was afterwards."""

import gc
import sys

import pytest

from noisy.loading import loading


@pytest.mark.parametrize("is_enabled", [True, False])
def test_it_waits_and_then_leaves_alone_what_was_loaded(is_enabled: bool) -> None:
    (gc.enable if is_enabled else gc.disable)()
    try:
        n_frozen = gc.get_freeze_count()
        with loading():
            assert not gc.isenabled()
            sys.modules["loaded_here"] = sys
        assert gc.isenabled() == is_enabled
        assert gc.get_freeze_count() > n_frozen
        n_frozen = gc.get_freeze_count()
        with pytest.raises(ImportError), loading():
            raise ImportError
        assert gc.isenabled() == is_enabled
        assert gc.get_freeze_count() <= n_frozen, "nothing was loaded, so nothing new stays for ever"
    finally:
        sys.modules.pop("loaded_here", None)
        gc.enable()
