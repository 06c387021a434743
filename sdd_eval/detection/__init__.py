"""Object detectors on a backbone that was trained here: fine-tuned, and measured on COCO."""
