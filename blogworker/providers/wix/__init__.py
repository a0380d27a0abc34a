"""The client for the blog, the catalogs and the media of all Wix sites, with one access token per site."""
