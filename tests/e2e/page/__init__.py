"""The deployed system over HTTP: the Pulumi program and its zip, running on the local stack."""
