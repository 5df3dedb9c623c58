"""Real model input: weights from GGUF and safetensors files, and the activations that real text causes in them."""
