"""Cases that are too large for the test suite, each a program that prints a report and fails if a bound is missed."""
