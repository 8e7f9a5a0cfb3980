"""The cluster as fast as this machine goes, in a command's words."""

FREE = ("--set", "cluster.emulation=false", "--set", "cluster.dilation=1")
