"""Wix: one client for the blog, the catalogs and the media of all sites, with a token per site."""
