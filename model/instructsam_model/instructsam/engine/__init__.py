"""Engines: two ways to run the forward passes of an inference.

    forward pass                 reference (CPU)            static (GPU; on a CPU with `engine: compiled`)
    SAM3's image encoder         transformers' modules      fused layers, window layout kept between layers
    Qwen3-VL's image encoder     transformers' modules      fused layers, positions computed once per image size
    language model               DynamicCache, exact T      fused layers, static KV cache, T padded to a few lengths
    SAM3's detector              the network's              the network's, P padded to 1, 2, 4, 8, ...

Both compute the same function: `reference` bit for bit what `transformers` computes, `static` in a form that a GPU runs
without waiting for the host. Each of its passes takes its inputs from one upload and has no data-dependent shapes, so
it can be captured once as a CUDA graph and replayed. `torch.compile` fuses the remaining small operations.
"""
