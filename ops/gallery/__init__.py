"""The results gallery: the paper's figures and table computed by this project, beside what the paper claims."""
