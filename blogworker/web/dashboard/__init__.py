"""The dashboard: pages rendered on the server, with one small script that keeps them live. It needs no other origin.

pages      what each page reads and shows
actions    forms that change something
session    login, logout, and what surrounds every page
charts     lines and bars as SVG
templates  Jinja; every value is escaped
"""
