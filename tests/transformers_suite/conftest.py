"""Marks of transformers' tests; and these tests wait for `make test`, which fetches what they need."""

from pathlib import Path

MARKS = (
    "accelerate_tests",
    "flash_attn_3_test",
    "flash_attn_4_test",
    "flash_attn_kernels_test",
    "flash_attn_test",
    "generate",
    "is_training_test",
    "torch_compile_test",
    "torch_export_test",
)


def pytest_configure(config):
    for mark in MARKS:
        config.addinivalue_line("markers", f"{mark}: of transformers' tests")


def pytest_ignore_collect(collection_path: Path, config):
    """All are slow; collecting them imports the mixins, which may have to be downloaded first."""
    if collection_path.name.startswith("test_") and config.option.markexpr == "not slow":
        return True
    return None
