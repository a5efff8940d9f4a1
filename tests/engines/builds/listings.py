"""What llama.cpp has published over the years: the file names of three releases, in GitHub's shape."""

import hashlib
from typing import Any

NAMES: dict[str, tuple[str, ...]] = {
    # October 2026: CUDA for Linux; NVIDIA's libraries with the tag in their name there, without on Windows.
    "b11459": (
        "cudart-llama-b11459-bin-ubuntu-cuda-12.8-x64.tar.gz",
        "cudart-llama-b11459-bin-ubuntu-cuda-13.4-arm64.tar.gz",
        "cudart-llama-b11459-bin-ubuntu-cuda-13.4-x64.tar.gz",
        "cudart-llama-bin-win-cuda-12.4-x64.zip",
        "cudart-llama-bin-win-cuda-13.4-arm64.zip",
        "cudart-llama-bin-win-cuda-13.4-x64.zip",
        "llama-b11459-bin-android-arm64-snapdragon.tar.gz",
        "llama-b11459-bin-android-arm64.tar.gz",
        "llama-b11459-bin-linux-arm64-snapdragon.tar.gz",
        "llama-b11459-bin-macos-arm64.tar.gz",
        "llama-b11459-bin-macos-x64.tar.gz",
        "llama-b11459-bin-ubuntu-arm64.tar.gz",
        "llama-b11459-bin-ubuntu-cuda-12.8-x64.tar.gz",
        "llama-b11459-bin-ubuntu-cuda-13.4-arm64.tar.gz",
        "llama-b11459-bin-ubuntu-cuda-13.4-x64.tar.gz",
        "llama-b11459-bin-ubuntu-openvino-2026.4.1-x64.tar.gz",
        "llama-b11459-bin-ubuntu-rocm-10.0-x64.tar.gz",
        "llama-b11459-bin-ubuntu-s390x.tar.gz",
        "llama-b11459-bin-ubuntu-sycl-fp16-x64.tar.gz",
        "llama-b11459-bin-ubuntu-sycl-fp32-x64.tar.gz",
        "llama-b11459-bin-ubuntu-vulkan-arm64.tar.gz",
        "llama-b11459-bin-ubuntu-vulkan-x64.tar.gz",
        "llama-b11459-bin-ubuntu-x64.tar.gz",
        "llama-b11459-bin-win-cpu-arm64.zip",
        "llama-b11459-bin-win-cpu-x64.zip",
        "llama-b11459-bin-win-cuda-12.4-x64.zip",
        "llama-b11459-bin-win-cuda-13.4-arm64.zip",
        "llama-b11459-bin-win-cuda-13.4-x64.zip",
        "llama-b11459-bin-win-opencl-adreno-arm64.zip",
        "llama-b11459-bin-win-openvino-2026.4.1-x64.zip",
        "llama-b11459-bin-win-rocm-10.0-x64.zip",
        "llama-b11459-bin-win-sycl-x64.zip",
        "llama-b11459-bin-win-vulkan-arm64.zip",
        "llama-b11459-bin-win-vulkan-x64.zip",
        "llama-b11459-ui.tar.gz",
        "llama-b11459-xcframework.zip",
    ),
    # Early 2026: CUDA for Windows only.
    "b7902": (
        "cudart-llama-bin-win-cuda-12.4-x64.zip",
        "cudart-llama-bin-win-cuda-13.1-x64.zip",
        "llama-b7902-bin-310p-openEuler-aarch64.tar.gz",
        "llama-b7902-bin-310p-openEuler-x86.tar.gz",
        "llama-b7902-bin-910b-openEuler-aarch64-aclgraph.tar.gz",
        "llama-b7902-bin-910b-openEuler-x86-aclgraph.tar.gz",
        "llama-b7902-bin-macos-arm64.tar.gz",
        "llama-b7902-bin-macos-x64.tar.gz",
        "llama-b7902-bin-ubuntu-s390x.tar.gz",
        "llama-b7902-bin-ubuntu-vulkan-x64.tar.gz",
        "llama-b7902-bin-ubuntu-x64.tar.gz",
        "llama-b7902-bin-win-cpu-arm64.zip",
        "llama-b7902-bin-win-cpu-x64.zip",
        "llama-b7902-bin-win-cuda-12.4-x64.zip",
        "llama-b7902-bin-win-cuda-13.1-x64.zip",
        "llama-b7902-bin-win-hip-radeon-x64.zip",
        "llama-b7902-bin-win-opencl-adreno-arm64.zip",
        "llama-b7902-bin-win-sycl-x64.zip",
        "llama-b7902-bin-win-vulkan-x64.zip",
        "llama-b7902-xcframework.zip",
    ),
    # January 2025: zip everywhere, one file for each kind of processor, toolkits called "cu12.4". The files
    # for Windows are that release's own, those for Linux and macOS are of that time's shape.
    "b4585": (
        "cudart-llama-bin-win-cu11.7-x64.zip",
        "cudart-llama-bin-win-cu12.4-x64.zip",
        "llama-b4585-bin-macos-arm64.zip",
        "llama-b4585-bin-macos-x64.zip",
        "llama-b4585-bin-ubuntu-arm64.zip",
        "llama-b4585-bin-ubuntu-vulkan-x64.zip",
        "llama-b4585-bin-ubuntu-x64.zip",
        "llama-b4585-bin-win-avx-x64.zip",
        "llama-b4585-bin-win-avx2-x64.zip",
        "llama-b4585-bin-win-avx512-x64.zip",
        "llama-b4585-bin-win-cuda-cu11.7-x64.zip",
        "llama-b4585-bin-win-cuda-cu12.4-x64.zip",
        "llama-b4585-bin-win-hip-x64-gfx1030.zip",
        "llama-b4585-bin-win-noavx-x64.zip",
        "llama-b4585-bin-win-openblas-x64.zip",
        "llama-b4585-bin-win-sycl-x64.zip",
        "llama-b4585-bin-win-vulkan-x64.zip",
    ),
}


def listed(tag: str, *names: str) -> dict[str, Any]:
    """One release as GitHub lists it, with these files, or with those it really had."""
    base = f"https://github.com/ggml-org/llama.cpp/releases/download/{tag}"
    return {
        "tag_name": tag,
        "name": tag,
        "draft": False,
        "prerelease": True,
        "assets": [
            {
                "name": name,
                "state": "uploaded",
                "size": 1_000_000 + len(name),
                "digest": f"sha256:{hashlib.sha256(name.encode()).hexdigest()}",
                "browser_download_url": f"{base}/{name}",
            }
            for name in names or NAMES[tag]
        ],
    }
