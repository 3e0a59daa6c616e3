"""Comments worth a person's time, out to annotation tools and back into training sets."""
