"""Pictures of the boards, from a gateway at work: `make pictures`."""
