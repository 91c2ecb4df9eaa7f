"""Makes weights: from a published corpus to published models. `accelerate launch -m train.classifier --help`."""
