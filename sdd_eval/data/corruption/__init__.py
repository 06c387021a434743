"""The corruption recipe of CIFAR-10-C and CIFAR-100-C: 19 corruptions at five severities."""
