"""What do the gates let through when the truth is known? Noise, the best of many noise variants, and real skill of a stated size."""
