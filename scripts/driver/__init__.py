"""What the drivers of scripts/bench, torture, volume and hostile share. Python's standard library
only.
"""
