from tests.training.conftest import easy, fresh_logging, one_thread  # noqa: F401  fixtures
