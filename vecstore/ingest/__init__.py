"""How a store grows: pictures and ready-made vectors come in, and are committed."""
