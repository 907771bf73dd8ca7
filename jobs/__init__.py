"""What a compute node reads, does and writes. It imports `noisy`, and knows nothing about partitions, costs or figures."""
