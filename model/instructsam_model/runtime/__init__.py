"""How networks run on a device: precision, threads, quantization, compilation and CUDA graphs."""
