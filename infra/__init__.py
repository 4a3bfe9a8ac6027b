"""What exists in AWS: one component resource per module. Only settings.py reads the stack's configuration."""
