"""A model behind HTTP: the container contract of SageMaker and its kin, without any cloud's SDK (extra `serve`)."""
