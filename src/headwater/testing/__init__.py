"""For tests of applications and adapters: runners, fakes, faults, simulation, conformance kits."""
