"""One loop, and one step function for each way of learning."""
