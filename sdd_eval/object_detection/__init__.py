"""Fine-tune Faster R-CNN on a classifier's backbone and measure its mean average precision."""
