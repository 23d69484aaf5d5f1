"""Which layer of a backbone to take: each is probed with a linear model. The last layer is not always the best."""
