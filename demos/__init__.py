"""Examples of what the library is for; README.md in this folder says what each one shows."""
