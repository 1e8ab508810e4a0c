"""An ONNX file that somebody uploaded -> a backbone: looked at, wrapped, tried."""
