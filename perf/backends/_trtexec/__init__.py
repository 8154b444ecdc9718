"""trtexec, NVIDIA's program that times engines itself."""
