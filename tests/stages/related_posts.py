"""Posts of a site that another post may link."""

from hypothesis import strategies as st

OWN = "https://shop.example/product-page/mug"
PAN = "https://shop.example/post/season-a-pan"
OIL = "https://shop.example/post/oil_(for-wood)"
TITLES = st.text("abc de'*_`|&<>[]()!\\#-ßé陶ไ ", min_size=3, max_size=60)
