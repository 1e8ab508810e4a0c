"""Files of static word vectors -> a text backbone."""
