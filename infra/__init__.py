"""What exists in AWS: one component resource per module. Only settings/ reads the stack's configuration."""
