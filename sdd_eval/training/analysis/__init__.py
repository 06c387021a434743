"""Studies of training methods: gradients of the KL directions, cost, declared passes."""
