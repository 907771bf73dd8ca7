"""What a compute node reads, does and writes. Knows `noisy`; knows nothing of partitions, costs or figures."""
