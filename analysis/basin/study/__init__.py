"""basin-study: the claims about descent under a softmax and a Gaussian kernel, measured."""
