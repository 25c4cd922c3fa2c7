"""How the network is run at inference: what an answer consists of, as a few passes of tensors with fixed shapes.

    passes of an answer          reference (CPU)            static (accelerators; `engine: compiled` everywhere)
    SAM3's image encoder         transformers' modules      fused layers, windows stay apart between layers
    Qwen3-VL's image encoder     transformers' modules      fused layers, positions computed once per image size
    language model               DynamicCache, exact T      fused layers, static KV cache, T and L from a few sizes
    SAM3's detector              the network's              the network's, P from 1, 2, 4, 8, ...

Both compute the same; `reference` to the last bit what `transformers` computes, `static` what a GPU can do without
waiting for the host: every pass takes its inputs from one upload, has no shape that depends on their values, and so can
be captured once as a CUDA graph and replayed. `torch.compile` fuses what is left of single operations.
"""
