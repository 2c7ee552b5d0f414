"""`python -m worker` is `pipeline-worker`."""

from penstock.launch import worker as main

if __name__ == "__main__":
    main()
