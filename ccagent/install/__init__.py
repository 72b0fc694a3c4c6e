"""ccagent as a service of its user: unit or agent put in place and taken away, with every step shown."""
