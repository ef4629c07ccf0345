"""Tables of pricing: quotes, held quotes, and the state of providers that workers share."""
