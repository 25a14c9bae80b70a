"""What an answer, an expert and a data set are made of: inspection, masking, calibration."""
