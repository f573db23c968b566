"""Fast forms of the network, each proved equal to the reference in `albert.model`."""
