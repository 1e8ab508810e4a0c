"""The same classifier behind other servers, each as a good engineer would write it; they import nothing of Graft."""
