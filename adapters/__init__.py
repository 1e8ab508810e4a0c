"""Transfer learning: from embeddings and labels to a calibrated ONNX head. No HTTP, SQL, environment or clock."""
