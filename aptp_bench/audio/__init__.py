"""Sounds: waves and their rates, Mel spectrograms and the way back, WAV files."""
