"""The method: configuration, encoders, MoV-Adapter, both passes, processing."""
