module example.org/gaia

go 1.19
