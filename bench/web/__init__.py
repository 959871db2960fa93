"""HTTP servers side by side: one worker each, on one core, in interleaved rounds of one run."""
