"""The corruptions of CIFAR-10-C and CIFAR-100-C: 19 kinds at five severities."""
