"""What plugins promise the harness: one small class for each kind, facts as data on it."""
