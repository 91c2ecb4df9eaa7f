"""What the demo and the tests need besides the product."""
